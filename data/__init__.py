"""What is learned from: datasets, patient-level splits, mixing of real and synthetic, audits."""
