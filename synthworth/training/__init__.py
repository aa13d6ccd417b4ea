"""The training kit that generators and classifiers share."""
