"""What is measured on an arm: utility, fidelity, privacy, subgroups."""
