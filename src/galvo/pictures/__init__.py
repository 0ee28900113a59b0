"""Pictures of recordings, made of a sample of their frames: what is behind `galvo.preview`.

`summary` computes images of sampled frames, `picture` makes pictures of images, `views` chooses what is shown,
`drawing` lays it out, `sheet` and `movie` show it, `show` is `galvo.preview`, `notebook` the card of a recording.
"""
