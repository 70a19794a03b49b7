"""The supervisor: a core that decides (event in, action out) and a shell around it that asks the
kernel and answers it."""
