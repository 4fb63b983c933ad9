"""Which scores an approximating attention computes: one file a way, on operands' codes and masks.

A way is a frozen design of the choices that its mask depends on, and of nothing else: machines time it, and training
learns under it. What a row keeps that nothing would be left of: :mod:`siloom.sim.selection.best_key`.
"""
