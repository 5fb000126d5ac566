"""The made-up video service: its world, what happens there, and the log it leaves (jobs/simulate.py writes it)."""
