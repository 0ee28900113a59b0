"""Pictures of recordings: `summary` images of a sample of frames, and `picture` what makes pictures of images."""
