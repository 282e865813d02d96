"""One module for each client, each as small as the documentation of its library lets it be."""
