"""What each task becomes: a file a task, with a function `package` of its trained model."""
