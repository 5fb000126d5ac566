"""A fitted retrieval model as the funnel sees it: users and videos in, numpy vectors out."""

from dataclasses import dataclass

import numpy as np
import torch

from funnel.night import Night
from funnel.users import Users
from training import loop, moments, sequences, vocabulary
from training.moments import Videos
from training.retrieval import Retrieval
from training.settings import RetrievalSettings
from training.user_vectors import last_vectors
from training.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class FittedRetrieval:
    """The model, what it has names for, and the vectors of the videos it was fitted on.

    known: f32[N, d] of vocabulary.video_ids, kept so that a history can hold videos that a night no longer has.
    """

    model: Retrieval
    names: Vocabulary
    settings: RetrievalSettings
    known: np.ndarray

    @staticmethod
    def of(model: Retrieval, names: Vocabulary, settings: RetrievalSettings, videos: Videos) -> "FittedRetrieval":
        """With the vectors of the videos that have names, all of which the catalogue must hold."""
        vectors = content_vectors(model, names, videos)
        return FittedRetrieval(model, names, settings, vectors[np.searchsorted(videos.video_ids, names.video_ids)])

    def video_vectors(self, night: Night) -> np.ndarray:
        """f32[V, d + F]: what the index of a night holds; the inner product with a user's vector is the score."""
        return np.concatenate([content_vectors(self.model, self.names, night), moments.of_night(night)], axis=1)

    def user_vectors(self, users: Users) -> np.ndarray:
        """f32[U, d + F]: what each user would play twelve hours after the last play; zeros for a user without plays.

        A video that came after the fit is passed over. The vector depends on the user's own history alone.
        """
        histories = sequences.of_users(users, self.names.video_ids, self.names, self.settings.length)
        return last_vectors(self.model.users, histories, self.known)


@torch.inference_mode()
def content_vectors(model: Retrieval, names: Vocabulary, videos: Videos) -> np.ndarray:
    """f32[V, d]: the video tower's vectors, without what a night knows."""
    model.eval()
    encoded, where = vocabulary.encode(names, videos), next(model.parameters()).device
    parts = [model.videos(*loop.tensors(encoded, piece, where)).cpu().numpy()
             for piece in sequences.pieces(len(videos.video_ids), 65_536)]
    return np.concatenate([np.zeros((0, model.users.taste.out_features), np.float32), *parts])
