from dlkb.nn.dropout import Dropout, mc_dropout

__all__ = ["Dropout", "mc_dropout"]
