"""Tests of what opens networks, detectors and inputs."""
