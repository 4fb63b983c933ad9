"""Real training in the hardware's arithmetic, on PyTorch: convert a model, train it, record its steps.

Needs the extra ``train``. The front door is ``siloom.torch``; nothing else of Siloom imports this.
"""
