"""What Ray Serve calls the parts of a fleet: by these names they are found, whoever asks."""

APPLICATION = "default"
GATEWAY = "gateway"
REGISTRY = "registry"
