"""What `unrolled bench` runs on the user's machine: results are checked equal before anything is timed."""
