"""The command `unrolled`: main and one command a file; nothing here imports torch before it has to."""
