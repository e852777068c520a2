package blob

// InParts makes an upload of a few bytes travel in parts, and a Reader fetch
// little at once.
func (s *S3) InParts(part, block int64) { s.part, s.block = part, block }
