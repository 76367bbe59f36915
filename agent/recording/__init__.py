"""Recording: frames of a running agent, as one of its clients, into files with an index."""
