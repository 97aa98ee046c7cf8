"""Results that are kept, and calls at the same time that share one."""
