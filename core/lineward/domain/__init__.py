"""Pure values and rules: everything here takes values (time and randomness too) and returns values."""
