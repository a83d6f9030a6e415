"""What one neuron does: f-I curves, thresholds, fixed points, bifurcations, periodic firing, phase response, chaos."""
