"""What a user names, opened: networks, detectors, inputs."""
