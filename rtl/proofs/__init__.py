"""What is proved of parts, one file each."""
