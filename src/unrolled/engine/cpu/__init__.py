"""Any cell compiled for the CPU: equations to vector code, forward and backward through time."""
