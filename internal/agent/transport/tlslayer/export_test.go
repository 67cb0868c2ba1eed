package tlslayer

import "fairlead.dev/fairlead/internal/agent/transport"

// layerOf returns the layer of a connection.
func layerOf(c *transport.Conn) *Layer { return c.Layer().(*Layer) }
