"""The stage `report`: what evaluations found, gathered from the store by SQL and shown in one HTML file that needs nothing else."""
