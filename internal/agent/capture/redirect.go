package capture

import "fairlead.dev/fairlead/internal/agent/capture/nft"

// Redirect says which of a pod's new TCP connections come to the agent.
type Redirect = nft.Redirect

// Block is an address block with holes, on some ports or all.
type Block = nft.Block

// Mapping is a redirected connection as its caller sees it.
type Mapping = nft.Mapping
