"""What pyflowreg.util holds."""
