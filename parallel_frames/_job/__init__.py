"""One job, from a call's options to its answers: what is decided, said and run for every end."""
