"""The whole chain in one call, without CVAT: `python -m deploy.pipeline IMAGES OUT`, or `main` from Python.

record      what was made of a photo, and where it lies
photo       one photo through the chain
functions   where the functions are, or a host of one's own
local       photos side by side in this process
ray_engine  photos on many processes or machines
report      tables and pictures of all photos
"""

from deploy.pipeline.run import main

__all__ = ["main"]
