"""What pyflowreg.util holds."""

__all__: list[str] = []
