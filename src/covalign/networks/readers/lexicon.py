"""With which words do makers of networks name what is no layer?

Phrases, as `covalign.networks.readers.names.says` finds them. A word alone decides nothing: `judging` weighs it
against shapes and companions.
"""

from covalign.networks.readers.names import phrases

OPTIMIZER = phrases(
    """
    exp_avg exp_avg_sq max_exp_avg_sq momentum_buffer square_avg acc_delta grad_avg optimizer optimizers
    optim opt_state adam rmsprop rms_prop momentum_vector optimizer_state adagrad accumulator
    """
)
ADAPTERS = phrases(
    """
    lora lora_a lora_b hada_w_1_a hada_w_1_b hada_w_2_a hada_w_2_b hada_t_1 hada_t_2 lokr_w_1 lokr_w_2
    lokr_t_2 oft vera ia_3 boft glora dora dora_scale adalora hra_u vblora randlora gralora tinylora delora
    hira_a hira_b lily_a lily_b lily_router peanut_a peanut_b osf_svd_params psoft_a psoft_b psoft_r
    pvera pvera_a pvera_b unilora adamss_a adamss_b adamss_newb adamss_new_b frod_v frod_s_indices frod_lambda_l
    frod_lambda_s_values beft_bias supertuning_values supertuning_indices deft_p deft_r c_3_a_kernel shira_weight
    shira_indices road_theta road_alpha miss_block bone_block waveft_spectrum fourierft_spectrum poly_router
    ln_tuning_layers trainable_tokens_delta prompt_encoder prompt_embeddings adaption_prompt
    """
)
SCALES = phrases(
    """
    scale scales scale_inv absmax scb amax zero zero_point zero_points zeros qzeros quant_map nested_absmax g_idx
    quant_state weight_shape
    """
)
RECURRENT = phrases(
    """
    weight_ih weight_hh weight_hr recurrent recurrent_kernel recurrent_weight ih hh x_2_h h_2_h i_2_h
    """
)
CELLS = phrases("lstm gru rnn lstms grus rnns")
GATES = frozenset(f"{reads}{gate}" for reads in "ih" for gate in "ifgorzn")
"""What Flax calls the linear maps of a cell: what it reads (input or state), and the gate."""
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
MEASURED = phrases("grad grads gradient gradients fisher ewc hessian importance importances")
EXPERTS = phrases("expert experts moe")
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
