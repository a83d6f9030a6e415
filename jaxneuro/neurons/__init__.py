"""One file per neuron model. A new model is its file, one line here, and one row in `tests/cases.py`."""

from jaxneuro.neurons.adex import AdEx as AdEx
from jaxneuro.neurons.adex import adex_adaptation as adex_adaptation
from jaxneuro.neurons.adex import adex_brette_gerstner as adex_brette_gerstner
from jaxneuro.neurons.adex import adex_delayed_accelerating as adex_delayed_accelerating
from jaxneuro.neurons.adex import adex_delayed_regular_bursting as adex_delayed_regular_bursting
from jaxneuro.neurons.adex import adex_initial_burst as adex_initial_burst
from jaxneuro.neurons.adex import adex_irregular as adex_irregular
from jaxneuro.neurons.adex import adex_regular_bursting as adex_regular_bursting
from jaxneuro.neurons.adex import adex_tonic as adex_tonic
from jaxneuro.neurons.adex import adex_transient as adex_transient
from jaxneuro.neurons.connor_stevens import ConnorStevens as ConnorStevens
from jaxneuro.neurons.eif import EIF as EIF
from jaxneuro.neurons.fitzhugh_nagumo import FitzHughNagumo as FitzHughNagumo
from jaxneuro.neurons.hindmarsh_rose import HindmarshRose as HindmarshRose
from jaxneuro.neurons.hodgkin_huxley import HodgkinHuxley as HodgkinHuxley
from jaxneuro.neurons.izhikevich import Izhikevich as Izhikevich
from jaxneuro.neurons.izhikevich import izhikevich_chattering as izhikevich_chattering
from jaxneuro.neurons.izhikevich import izhikevich_fast_spiking as izhikevich_fast_spiking
from jaxneuro.neurons.izhikevich import izhikevich_intrinsically_bursting as izhikevich_intrinsically_bursting
from jaxneuro.neurons.izhikevich import izhikevich_low_threshold_spiking as izhikevich_low_threshold_spiking
from jaxneuro.neurons.izhikevich import izhikevich_regular_spiking as izhikevich_regular_spiking
from jaxneuro.neurons.izhikevich import izhikevich_resonator as izhikevich_resonator
from jaxneuro.neurons.izhikevich import izhikevich_thalamo_cortical as izhikevich_thalamo_cortical
from jaxneuro.neurons.izhikevich2007 import Izhikevich2007 as Izhikevich2007
from jaxneuro.neurons.izhikevich2007 import izhikevich2007_chattering as izhikevich2007_chattering
from jaxneuro.neurons.izhikevich2007 import (
    izhikevich2007_intrinsically_bursting as izhikevich2007_intrinsically_bursting,
)
from jaxneuro.neurons.izhikevich2007 import izhikevich2007_medium_spiny as izhikevich2007_medium_spiny
from jaxneuro.neurons.izhikevich2007 import izhikevich2007_regular_spiking as izhikevich2007_regular_spiking
from jaxneuro.neurons.lif import LIF as LIF
from jaxneuro.neurons.lif import lif_cortical as lif_cortical
from jaxneuro.neurons.mihalas_niebur import MihalasNiebur as MihalasNiebur
from jaxneuro.neurons.mihalas_niebur import mihalas_niebur_adaptation as mihalas_niebur_adaptation
from jaxneuro.neurons.mihalas_niebur import mihalas_niebur_basal_bistability as mihalas_niebur_basal_bistability
from jaxneuro.neurons.mihalas_niebur import (
    mihalas_niebur_hyperpolarizing_bursting as mihalas_niebur_hyperpolarizing_bursting,
)
from jaxneuro.neurons.mihalas_niebur import (
    mihalas_niebur_hyperpolarizing_spiking as mihalas_niebur_hyperpolarizing_spiking,
)
from jaxneuro.neurons.mihalas_niebur import mihalas_niebur_mixed_mode as mihalas_niebur_mixed_mode
from jaxneuro.neurons.mihalas_niebur import mihalas_niebur_tonic_bursting as mihalas_niebur_tonic_bursting
from jaxneuro.neurons.mihalas_niebur import mihalas_niebur_tonic_spiking as mihalas_niebur_tonic_spiking
from jaxneuro.neurons.morris_lecar import MorrisLecar as MorrisLecar
from jaxneuro.neurons.morris_lecar import morris_lecar_homoclinic as morris_lecar_homoclinic
from jaxneuro.neurons.morris_lecar import morris_lecar_hopf as morris_lecar_hopf
from jaxneuro.neurons.morris_lecar import morris_lecar_snlc as morris_lecar_snlc
from jaxneuro.neurons.pospischil import Pospischil as Pospischil
from jaxneuro.neurons.pospischil import pospischil_fast_spiking as pospischil_fast_spiking
from jaxneuro.neurons.pospischil import pospischil_regular_spiking as pospischil_regular_spiking
from jaxneuro.neurons.qif import QIF as QIF
from jaxneuro.neurons.theta import Theta as Theta
from jaxneuro.neurons.traub_miles import TraubMiles as TraubMiles
from jaxneuro.neurons.wang_buzsaki import WangBuzsaki as WangBuzsaki

ALL_MODELS = (
    LIF, QIF, Theta, EIF, AdEx, Izhikevich, Izhikevich2007, MihalasNiebur, FitzHughNagumo, HindmarshRose,
    HodgkinHuxley, WangBuzsaki, MorrisLecar, TraubMiles, ConnorStevens, Pospischil,
)  # fmt: skip
