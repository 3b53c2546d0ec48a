"""Front ends other than the papers': for telephones, birds and bats, and a Fourier transform."""

from a2v_tf.frontend import FrontEnd

TELEPHONE = FrontEnd(8_000, 200, 80, 256, 64, 60.0, 3_900.0, 5e-3)
BIRDS = FrontEnd(48_000, 960, 480, 1_024, 96, 500.0, 16_000.0, 2.4e-2)
BATS = FrontEnd(96_000, 384, 192, 512, 64, 10_000.0, 46_800.0, 9.6e-3)
STFT = FrontEnd(mel_bins=0)

OTHERS = {"telephone": TELEPHONE, "birds": BIRDS, "bats": BATS, "stft": STFT}
