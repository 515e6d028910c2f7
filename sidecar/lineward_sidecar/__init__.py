"""What runs inside a training pod: verify the data first, observe the run after."""
