"""Networks from outside, cut into layers and brought to exact integers."""
