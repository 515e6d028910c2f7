"""One vocabulary for why something was refused or unknown.

The same word appears in the deny message, the condition, the Event, the metric label, the ledger and `docs/reasons.md`;
a test fails when one of them does not take a reason (`tests/house/test_reasons.py`). Values are CamelCase as the API
conventions ask of condition reasons
(https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

DOCS_PAGE = "docs/reasons.md"
"""The page in Lineward's sources; messages name it where no copy of it is served."""


class Reason(StrEnum):
    """Why a verdict is what it is. `next_step` says what a person does about it."""

    next_step: str

    def __new__(cls, value: str, next_step: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.next_step = next_step
        return member

    def docs(self, page: str = "") -> str:
        """Where the reason is explained: its section of `page`, the URL of a copy that people can reach."""
        return f"{page or DOCS_PAGE}#{self.value.lower()}"

    # Nothing to object to.
    VERIFIED = "Verified", "nothing to do"

    # Evidence: is there an attestation, and does it mean anything?
    NO_ATTESTATION = "NoAttestation", "attest the data: lineward attest DIR"
    UNVOUCHED = "Unvouched", "attest the volume's data: lineward attest DIR --pvc CLAIM, then kubectl apply"
    AMBIGUOUS_DATASET = "AmbiguousDataset", "choose with the annotation lineward.dev/datasets: VOLUME=NAME"
    EVIDENCE_INVALID = "EvidenceInvalid", "attest again; the bundle does not verify"
    EVIDENCE_TOO_LARGE = "EvidenceTooLarge", "attest again with a smaller statement"
    EVIDENCE_PENDING = "EvidencePending", "try again in a few seconds; the evidence is being verified"
    WRONG_IDENTITY = "WrongIdentity", "have an authority of the policy attest the data"
    QUORUM_NOT_MET = "QuorumNotMet", "add the missing signatures: lineward attest --add-signature"
    WRONG_PREDICATE_TYPE = "WrongPredicateType", "attest with lineward; the statement is of another type"
    SPEC_MISMATCH = "SpecMismatch", "apply the DatasetVersion that lineward attest wrote, unchanged"
    OUTSIDE_VALIDITY = "OutsideValidity", "sign with a time stamp, within the validity of the trust root's keys"
    ATTESTATION_TOO_OLD = "AttestationTooOld", "attest the data again"
    CONSTRAINT_NOT_MET = "ConstraintNotMet", "see the policy's require section"
    RECALLED = "Recalled", "use another version; this one was withdrawn"
    NOT_ACTIVE = "NotActive", "use an active version; this one is quarantined or revoked"

    # Attesting: nothing was written.
    NO_IDENTITY = "NoIdentity", "give --identity-token or --key, or sign in from a terminal"
    NOT_SIGNED = "NotSigned", "try again; see whether the Sigstore services can be reached"
    PROVENANCE_INVALID = (
        "ProvenanceInvalid",
        "correct the provenance; see docs/formats/dataset-provenance-v1.md",
    )

    # Configuration that is missing or wrong.
    POLICY_INVALID = "PolicyInvalid", "have the platform team fix the ProvenancePolicy"
    TRUST_ROOT_MISSING = (
        "TrustRootMissing",
        "have the platform team create the TrustRoot that the policy names",
    )
    TRUST_ROOT_INVALID = "TrustRootInvalid", "have the platform team fix the TrustRoot"
    DATASET_INVALID = "DatasetInvalid", "apply the DatasetVersion that lineward attest wrote"
    NO_POLICY = "NoPolicy", "have the platform team create a ProvenancePolicy for the namespace"
    EXCEPTION_IGNORED = "ExceptionIgnored", "create the exception in Lineward's own namespace"
    EXCEPTED = "Excepted", "attest the data before the ProvenanceException expires"

    # Shape of the pod: rules of a protected pod.
    UNKNOWN_ANNOTATION = "UnknownAnnotation", "remove or correct the lineward.dev/ annotation or label"
    UNKNOWN_VOLUME_TYPE = "UnknownVolumeType", "use a volume type that the policy knows"
    VOLUME_NOT_SUPPORTED = "VolumeNotSupported", "mount the data as a claim or image volume"
    SUBPATH_NOT_SUPPORTED = "SubPathNotSupported", "mount the whole volume, without subPath or subPathExpr"
    BLOCK_DEVICE = "BlockDevice", "use a claim with volumeMode Filesystem"
    MOUNT_OVERLAP = "MountOverlap", "mount nothing at, under or above a data mount"
    DATA_WRITABLE = "DataWritable", "use one claim as input or as output, never both"
    OUTPUT_NOT_ALLOWED = "OutputNotAllowed", "use an output claim that the policy lists"
    OUTPUT_NOT_EMPTY = "OutputNotEmpty", "attest what the claim holds, or use a new claim"
    NFS_NOT_ALLOWED = "NfsNotAllowed", "use an NFS export that the policy lists exactly, or mount the data by claim"
    HOST_PATH = "HostPath", "use a hostPath that the policy lists exactly, or a claim"
    PRIVILEGED = "Privileged", "drop privileged, SYS_ADMIN, SYS_PTRACE, hostPID and shareProcessNamespace"
    POD_NOT_SUPPORTED = "PodNotSupported", "run the training pod on Linux nodes, and upgrade Lineward with Kubernetes"
    AUDIENCE_RESERVED = "AudienceReserved", "use another token audience"
    NOT_INJECTED = "NotInjected", "retry; Lineward's containers were missing or changed by another webhook"
    CONTAINER_CHANGED = "ContainerChanged", "leave the lineward-* containers alone; create a new pod"
    RESERVED_NAME = "ReservedName", "rename the container or volume; lineward-* is reserved"

    # The bytes, as the verify container found them.
    CONTENT_DIFFERS = "ContentDiffers", "restore the signed bytes, or attest the new ones as a new version"
    EMPTY_DATASET = "EmptyDataset", "mount data; the folder holds no file"
    UNREADABLE = "Unreadable", "give the trainer read access: runAsUser, fsGroup or file modes"
    UNWRITABLE = "Unwritable", "make room, or write to another place"
    SPECIAL_FILE = "SpecialFile", "remove sockets, devices and pipes (symlinks need the posix profile)"
    EMPTY_DIRECTORY = "EmptyDirectory", "remove the empty directory, or attest with --profile posix"
    MOUNT_POINT = "MountPoint", "unmount what is mounted inside the folder, or attest it on its own"
    TREE_TOO_DEEP = "TreeTooDeep", "shorten the path: 512 levels, 32767 bytes, 255 bytes a name"
    SAMPLED = "Sampled", "hash everything for a verdict: leave out --sample"
    CHANGED_WHILE_READ = "ChangedWhileRead", "stop the writer, then start the pod again"
    DATA_CHANGED_DURING_RUN = "DataChangedDuringRun", "find the writer; train again on the signed bytes"
    MANIFEST_INVALID = "ManifestInvalid", "apply the manifest that lineward attest wrote"
    PROOF_INVALID = "ProofInvalid", "make the proof again from the signed manifest: lineward manifest prove"
    ENGINE_FAULT = "EngineFault", "replace the machine; its hardware or library computed a wrong digest"
    VERIFICATION_TIMED_OUT = "VerificationTimedOut", "give the pod more CPU, or raise the policy's verification.timeout"
    VERIFY_CRASHED = "VerifyCrashed", "see the logs of the lineward-verify container"
    RANKS_DISAGREE = "RanksDisagree", "train again; find out which pod read other data"
    NO_VERDICT = "NoVerdict", "see the pod's events; the verify container has not finished"

    # The machinery.
    LEDGER_UNAVAILABLE = (
        "LedgerUnavailable",
        "nothing, if it passes: the operator keeps trying; else see the ledger's logs",
    )
    CLUSTER_UNREACHABLE = "ClusterUnreachable", "check the kubectl context and your rights: kubectl auth can-i"
    REQUEST_INVALID = "RequestInvalid", "mend what was asked for, as the message says"
    INTERNAL_ERROR = "InternalError", "see the component's logs; refusing is the safe answer"
