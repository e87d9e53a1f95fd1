"""The program: the stack's config in, a cloud out."""

import pulumi

from components.cloud import Cloud
from config import load

for name, value in Cloud(pulumi.get_stack(), load()).outputs.items():
    pulumi.export(name, value)
