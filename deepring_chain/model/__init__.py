"""The network in exact integers: quantised, split into layers, committed to. torch lives only here."""
