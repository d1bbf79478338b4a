"""Workers, and what they live on, are killed, frozen, cut off and stopped in the middle of work."""

import os

# Some of these start processes while this one uses gRPC, which reads this when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
