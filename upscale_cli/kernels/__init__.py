"""The blur kernel: values, files, downsampling with it, similarity, drawing."""
