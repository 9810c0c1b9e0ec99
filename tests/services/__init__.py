"""The servers that tests run against: from the environment, else Docker, else local binaries or the wheel."""
