"""The tasks, a module each with the same few names.

`LEARNING_RATE` and `LOSS` are the papers'; `SLICES` names the methods of `Crops` whose slices the
encoder hears, `targets(crops)` cuts what the head is to find, `crop_frames(slicing)` says how much
of a clip that takes, and `head(z, setup)` is built on the embeddings. `multi_head` puts them
together, for one task or for several; `supervised` learns from labels instead.
"""
