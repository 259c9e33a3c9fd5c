"""Reads a compose file by a reader of the specification, which refuses what that does not know."""

import sys

from compose_spec import PyCompose

with open(sys.argv[1]) as file:
    compose = PyCompose.from_yaml(file.read())
print(f"{sys.argv[1]} is a compose file with the services {', '.join(compose.service_names())}")
