"""How a run is judged: fidelity of the images, utility of the classifiers; one metric a file."""
