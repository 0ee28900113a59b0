"""The default estimator: empirical Bayes on a cosine basis."""

from galvo.motion.bayes.estimator import BayesEstimator
from galvo.motion.bayes.expansion import CosineExpansion
from galvo.motion.bayes.plan import BayesPlan
from galvo.motion.bayes.report import BandReport, BayesReport

__all__ = ["BandReport", "BayesEstimator", "BayesPlan", "BayesReport", "CosineExpansion"]
