package wire

import (
	"iter"
	"math/bits"
	"strconv"

	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Feature is a part of the protocol that was added after version 1, so that not every agent understands it.
type Feature uint8

// The features. To add one: a value in distribution.proto, a constant with a name here, a row in featureNumbers, and, where it adds fields to
// policy.proto, rows in requirements.
const (
	// FeaturePatches: resources that are sent as patches.
	FeaturePatches Feature = 1
	// FeatureTLS: the TLS of hosts, and the resources that it refers to.
	FeatureTLS Feature = 2
	// FeatureGRPCMatches: rules that match gRPC calls.
	FeatureGRPCMatches Feature = 3
	// FeatureHTTP2: calls of HTTP/2 are governed.
	FeatureHTTP2 Feature = 4
	// FeatureQUIC: flows of QUIC that are rejected.
	FeatureQUIC Feature = 5
	// FeatureVia: HTTP proxies through which hosts are called.
	FeatureVia Feature = 6
	// FeatureRateLimit: limits of calls per time.
	FeatureRateLimit Feature = 7
	// FeatureConcurrency: limits of calls at once.
	FeatureConcurrency Feature = 8
	// FeatureClusterLimits: limits of calls per time that the cluster shares.
	FeatureClusterLimits Feature = 9
	// FeatureAdaptive: timeouts of attempts that follow their latencies.
	FeatureAdaptive Feature = 10
	// FeatureFallback: what calls that could not be served end with instead.
	FeatureFallback Feature = 11
	// FeatureEndpointBreakers: breakers of single endpoints.
	FeatureEndpointBreakers Feature = 14
	// FeatureHedging: attempts beside others that have not been answered.
	FeatureHedging Feature = 12
	// FeatureDryRun: policies of which agents say what they would do. To an agent without it they do not exist.
	FeatureDryRun Feature = 16
	// FeatureMatches: rules that match header fields and hosts.
	FeatureMatches Feature = 17
	// FeatureAlreadyRetried: attempts that are numbered, and calls that arrive so.
	FeatureAlreadyRetried Feature = 18
	// FeatureClusterBreakers: breakers that the cluster shares.
	FeatureClusterBreakers Feature = 15
	// FeatureForcedBreakers: breakers that a policy keeps open, or closed, for a time.
	FeatureForcedBreakers Feature = 19
	// FeatureOwners: what pods belong to.
	FeatureOwners Feature = 20
	// FeatureFaults: faults that are injected for a time.
	FeatureFaults Feature = 22
	// FeatureFallbackDestination: destinations that calls which could not be served fall back on.
	FeatureFallbackDestination Feature = 13
	// FeatureTracing: spans of calls.
	FeatureTracing Feature = 21
	// FeatureInventory: flows of calls in reports.
	FeatureInventory Feature = 23
)

// featureNumbers are the features as they travel. The table is never written to.
var featureNumbers = enum[pb.Feature]{
	0:                  pb.Feature_FEATURE_UNSPECIFIED,
	FeaturePatches:     pb.Feature_FEATURE_PATCHES,
	FeatureTLS:         pb.Feature_FEATURE_TLS,
	FeatureGRPCMatches: pb.Feature_FEATURE_GRPC_MATCHES,
	FeatureHTTP2:       pb.Feature_FEATURE_HTTP2,
	FeatureQUIC:        pb.Feature_FEATURE_QUIC,
	FeatureVia:         pb.Feature_FEATURE_VIA,
	FeatureRateLimit:   pb.Feature_FEATURE_RATE_LIMIT,
	FeatureConcurrency: pb.Feature_FEATURE_CONCURRENCY,
	FeatureAdaptive:    pb.Feature_FEATURE_ADAPTIVE,
	FeatureFallback:    pb.Feature_FEATURE_FALLBACK,
	FeatureHedging:     pb.Feature_FEATURE_HEDGING,
	FeatureDryRun:      pb.Feature_FEATURE_DRY_RUN,
	FeatureFaults:      pb.Feature_FEATURE_FAULTS,

	FeatureClusterLimits:       pb.Feature_FEATURE_CLUSTER_LIMITS,
	FeatureMatches:             pb.Feature_FEATURE_MATCHES,
	FeatureAlreadyRetried:      pb.Feature_FEATURE_ALREADY_RETRIED,
	FeatureClusterBreakers:     pb.Feature_FEATURE_CLUSTER_BREAKERS,
	FeatureForcedBreakers:      pb.Feature_FEATURE_FORCED_BREAKERS,
	FeatureOwners:              pb.Feature_FEATURE_OWNERS,
	FeatureEndpointBreakers:    pb.Feature_FEATURE_ENDPOINT_BREAKERS,
	FeatureFallbackDestination: pb.Feature_FEATURE_FALLBACK_DESTINATION,
	FeatureTracing:             pb.Feature_FEATURE_TRACING,
	FeatureInventory:           pb.Feature_FEATURE_INVENTORY,
}

// featureNames are the names of the features, as statuses and logs show them. The table is never written to.
var featureNames = [...]string{
	FeaturePatches:             "Patches",
	FeatureTLS:                 "TLS",
	FeatureHTTP2:               "HTTP2",
	FeatureGRPCMatches:         "GRPCMatches",
	FeatureQUIC:                "QUIC",
	FeatureVia:                 "Via",
	FeatureRateLimit:           "RateLimit",
	FeatureConcurrency:         "Concurrency",
	FeatureClusterLimits:       "ClusterLimits",
	FeatureAdaptive:            "AdaptiveTimeouts",
	FeatureFallback:            "Fallback",
	FeatureHedging:             "Hedging",
	FeatureDryRun:              "DryRun",
	FeatureEndpointBreakers:    "EndpointBreakers",
	FeatureMatches:             "Matches",
	FeatureAlreadyRetried:      "AlreadyRetried",
	FeatureClusterBreakers:     "ClusterBreakers",
	FeatureForcedBreakers:      "ForcedBreakers",
	FeatureFaults:              "Faults",
	FeatureOwners:              "Owners",
	FeatureFallbackDestination: "FallbackDestination",
	FeatureTracing:             "Tracing",
	FeatureInventory:           "Inventory",
}

// String returns the name of f, as statuses and logs show it.
func (f Feature) String() string {
	if int(f) < len(featureNames) && featureNames[f] != "" {
		return featureNames[f]
	}
	return "feature " + strconv.Itoa(int(f))
}

// Features is a set of features, each below 64.
type Features uint64

// FeaturesOf returns the set of list.
func FeaturesOf(list ...Feature) Features {
	var s Features
	for _, f := range list {
		s |= 1 << f
	}
	return s
}

// AllFeatures returns the features that this build understands, which are those it knows.
func AllFeatures() Features {
	var s Features
	for f, number := range featureNumbers {
		if number != pb.Feature_FEATURE_UNSPECIFIED {
			s |= 1 << f
		}
	}
	return s
}

// Has reports whether f is in s.
func (s Features) Has(f Feature) bool { return s&(1<<f) != 0 }

// All returns the members of s in order.
func (s Features) All() iter.Seq[Feature] {
	return func(yield func(Feature) bool) {
		for ; s != 0; s &= s - 1 {
			if !yield(Feature(bits.TrailingZeros64(uint64(s)))) {
				return
			}
		}
	}
}

func featuresToProto(s Features) []pb.Feature {
	var out []pb.Feature
	for f := range s.All() {
		if int(f) < len(featureNumbers) {
			out = append(out, featureNumbers[f])
		}
	}
	return out
}

// featuresFromProto leaves out what only newer agents understand: it is never sent.
func featuresFromProto(list []pb.Feature) Features {
	var s Features
	for _, w := range list {
		var f Feature
		if fromWire(featureNumbers, w, &f) == nil && f > 0 {
			s |= 1 << f
		}
	}
	return s
}
