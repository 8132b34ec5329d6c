"""With which words do makers of networks name what is no layer?

Phrases, as `covalign.networks.readers.names.says` finds them. A word alone decides nothing: `judging` weighs it
against shapes and companions.
"""

from covalign.networks.readers.names import phrases

OPTIMIZER = phrases(
    """
    exp_avg exp_avg_sq max_exp_avg_sq momentum_buffer square_avg acc_delta grad_avg optimizer optimizers
    optim opt_state adam rmsprop momentum_vector optimizer_state adagrad accumulator
    """
)
ADAPTERS = phrases(
    """
    lora lora_a lora_b hada_w_1_a hada_w_1_b hada_w_2_a hada_w_2_b hada_t_1 hada_t_2 lokr_w_1 lokr_w_2
    lokr_t_2 oft vera ia_3 boft glora dora dora_scale adalora
    """
)
SCALES = phrases(
    """
    scale scales scale_inv absmax scb amax zero_point zero_points zeros qzeros quant_map nested_absmax
    """
)
RECURRENT = phrases("weight_ih weight_hh weight_hr recurrent recurrent_kernel recurrent_weight ih hh")
CELLS = phrases("lstm gru rnn lstms grus rnns")
STATISTICS = phrases(
    """
    mean std var variance stdev average running_mean running_var moving_mean moving_variance
    """
)
AVERAGES = phrases(
    """
    ema shadow averaged swa moving_average exponential_moving_average exponentialmovingaverage
    """
)
POSITIONS = phrases(
    """
    pos_embed pos_emb posemb position positions positional pe rel_pos relative relative_position rotary rope
    inv_freq freqs attention_biases alibi query_pos rel_pos_h rel_pos_w level_embed row_embed col_embed wpe
    position_ids coords coordinates anchors grid
    """
)
TOKENS = phrases(
    """
    token tokens cls class_embedding prompt prompts query_embed query queries latent latents register
    registers
    """
)
EMBEDDINGS = phrases(
    """
    emb embs embed embeds embedding embeddings wte codebook codebooks shared vocab vocabulary lookup words embedder
    """
)
FILTERS = phrases(
    """
    blur blurpool filt filters filter resample resample_filter upfirdn fir lowpass sobel laplacian laplace
    gaussian gauss haar dct idct dwt dft idft stft istft fft mel mel_basis fb window antialias anti_alias
    scharr prewitt wavelet filterbank melspec spectrogram highpass smoothing downsample_kernel
    upsample_kernel hann hamming
    """
)
CONSTANTS = phrases("const constant noise noise_const input buffer")
GAINS = phrases(
    """
    gamma beta gate gates gain gains temperature layer_scale scale_1 scale_2 ls alpha g strength
    """
)
MAPS = phrases(
    """
    proj projection linear fc conv dense mlp head lin classifier logits out decoder readout output lm
    """
)
"""Words of modules that multiply, whatever else their name says."""
