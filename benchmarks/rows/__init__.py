"""What each task is measured by: a file here holds a tuple ROWS, which `benchmarks/tasks.py` runs."""
