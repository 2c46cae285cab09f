"""Image generators by flow matching and diffusion, each with a circuit in it and the arms to compare it with."""
