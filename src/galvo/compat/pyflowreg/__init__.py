"""PyFlowReg's modules: `util.io` stands for pyflowreg.util.io."""
